"""From metrics to evidence: contrasts, intervals, verdicts, health, decisions."""
