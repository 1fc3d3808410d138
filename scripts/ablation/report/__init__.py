"""From evidence to what people read and apply: report, figures, patch."""
