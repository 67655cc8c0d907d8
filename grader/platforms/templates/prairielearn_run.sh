#!/usr/bin/env bash
# Grades what a student uploaded; the image has Python and the packages of image/requirements.txt.
set -euo pipefail

root="${GRADE_ROOT:-/grade}"
export COURSE_ROOT="$root/tests/course" PYTHONPATH="$root/tests/course" PYTHONDONTWRITEBYTECODE=1
mkdir -p "$root/results"
exec "${AUTOGRADER_PYTHON:-python3}" -m grader.platforms.grade_submission "$root"
