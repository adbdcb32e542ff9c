"""bdry: where is the decision boundary of a deep network, how far from the data, and how does it move?"""

__version__ = "0.1.0"
