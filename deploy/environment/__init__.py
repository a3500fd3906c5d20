"""Makes `.venv` from the lock file of the TFX stack that fits this machine, under any Python from 3.8 on."""
