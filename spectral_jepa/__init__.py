"""The laboratory in which the theory of JEPA world models is checked, refuted, corrected and taught."""
