"""The purse as pure decisions: state and command in, refusal or new state and payload to sign out."""
