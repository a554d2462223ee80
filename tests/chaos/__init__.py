"""The rig: real processes are killed, paused and cut off under load, and the history of what they saw is checked."""
