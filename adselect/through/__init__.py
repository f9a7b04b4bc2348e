"""Code that was never written for traced values, run on them: ``lift`` and what it puts in the place of calls."""
