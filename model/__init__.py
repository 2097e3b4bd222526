"""The pure model: tasks, controller, hosts and the channel between them.

Nothing in this package reads a clock, opens a file or a socket, starts a thread or draws a random number. A driver
(`sim` or `live`) hands events and the time in, and carries out what `drain()` returns.
"""
