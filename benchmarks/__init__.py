"""Benchmarks of pushforward, run by ``make bench``; never a timed test.

Everything here runs on one thread, and the clock is the process's CPU time: on a shared machine wall time measures the
neighbours. The two sides of a ratio take turns, and every number is a median with its spread.
"""
