"""Memories of conversations: turns, rounds, episodes, summaries, facts, keywords, and the days that they speak of."""
