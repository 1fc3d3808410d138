"""The canonical settings and what they amount to: schedules, architecture, quantities."""
