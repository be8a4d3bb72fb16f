"""LeWorldModel and Sub-JEPA from pixels: model, objective, environments, data, training, planning, evaluation."""
