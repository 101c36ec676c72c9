"""The rollout engine: pure decisions over what was observed. No I/O, no clock, no asyncio."""
