package open.ecny.vectors;

/** Bytes or claims that are refused; `code` is a word of docs/spec/statuses.md, *Faults of a message*. */
final class Fault extends Exception {
    private static final long serialVersionUID = 1L;

    final String code;

    Fault(String code, String message) {
        super(code + ": " + message);
        this.code = code;
    }
}
