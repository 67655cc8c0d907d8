"""The toolkit behind the course: building notebooks, checking and grading them safely, and reporting."""

__version__ = "0.1.0"
