"""The API group luntra.io/v1alpha1: types, vocabulary and the generated CRD. No I/O."""
