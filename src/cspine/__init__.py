"""cspine: cervical-spine fractures in CT from few labels. Nothing heavy is imported here (see docs/architecture.md)."""
