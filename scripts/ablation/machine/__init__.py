"""One run seen from outside, without torch: GPUs, leases, launcher, warm worker."""
