"""What commands find out and how they show it.

- :mod:`.table`: rows as lines of equal columns.
- :mod:`.model_list`: asks the service for its list of models.
- :mod:`.checks`: what ``doctor`` concludes.
- :mod:`.comparison`: what ``models --compare`` prints.
"""
