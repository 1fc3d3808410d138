"""From metrics to evidence: contrasts, intervals, attribution, verdicts, health, decisions."""
