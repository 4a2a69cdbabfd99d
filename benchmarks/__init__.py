"Timings of this package against others, side by side in one run: `python -m benchmarks.run`."
