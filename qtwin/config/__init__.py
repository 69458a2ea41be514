"""What can be asked for, as plain data. Read without importing JAX."""

from qtwin.config.config import Config as Config
