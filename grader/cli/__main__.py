"""`python -m grader.cli`, the same as `course`."""

from grader.cli import main

if __name__ == "__main__":
    main()
