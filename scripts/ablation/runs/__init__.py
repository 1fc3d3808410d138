"""One run seen from outside, without torch: launch, warm worker, caches, and what it leaves."""
