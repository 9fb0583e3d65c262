"""The brain as an app (add-on) of Home Assistant: what the Supervisor is told and asked, its page, its backups."""
