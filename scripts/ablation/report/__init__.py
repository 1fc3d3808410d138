"""From evidence to what people read and apply: report, figures, patch."""

FIGURES = (
    "waterfall",
    "loss_curves",
    "learning_rates",
    "gradient_norms",
    "attribution",
    "quality_cost",
)
INTERACTIONS = "interactions"  # only where the study has a factorial
