"""The accelerators of a fleet: who holds how many, who waits for them, and who gets them next. No I/O, no clock, no asyncio."""
