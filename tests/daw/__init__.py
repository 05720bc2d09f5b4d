"""Tests of the DAW scripts, and the studio that they and the benchmark work in."""
