"""Other homes of results: Gradescope, Canvas, Moodle, PrairieLearn, GitHub Classroom, and JUnit XML for the rest."""
