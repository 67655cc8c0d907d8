"""`make bench`: how fast this grades, beside nbgrader on the same submissions in the same run."""
