"""Results on their way out: nbgrader's database, CSV, feedback and class report."""
