"""Pictures of the pixel world models: what they know, how often they succeed, what one episode looks like."""
