"""A release of the course: what students get, what instructors keep, and what changed since the last one."""
