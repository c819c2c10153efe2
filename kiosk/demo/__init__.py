"""The demo: the whole gate on simulated hardware, and a scripted day that checks itself."""
