"""The fourth stage: SMOTE on the train vectors, as a plan that names both parents of every synthetic row."""
