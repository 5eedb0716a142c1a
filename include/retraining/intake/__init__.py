"""The first stage: every delivered image is accepted, skipped as a duplicate, or quarantined with a reason."""
