"""One frozen dataclass for each message of docs/spec/messages.cddl."""
