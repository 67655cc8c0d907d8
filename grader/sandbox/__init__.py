"""The confined process that runs a student's code, and the wire between it and the checks."""
