"""Attacks on the grader, as data, and the arena in which they are tried on the real engine.

`python -m tests.grader.attacks` prints what each of them tried and got; `test_attacks.py` asserts that none succeeds.
"""
