"""A run while it is at work, as `cspine status --watch` shows it: seen, set as lines, shown again and again."""
