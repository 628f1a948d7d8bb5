"""Write `settings.ini` and `docs/SETTINGS.md` from the tables."""

from server.settings.document import write

if __name__ == "__main__":
    write()
