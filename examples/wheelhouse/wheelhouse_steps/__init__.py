"""The steps of the wheelhouse example, one module a step. They need only Python and pip."""
