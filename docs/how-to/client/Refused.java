package open.ecny.client;

/** Why this program ends without having done what it was asked; the code is the exit code of docs/spec/statuses.md. */
final class Refused extends Exception {
    private static final long serialVersionUID = 1L;
    static final int USAGE = 2;
    static final int NO_SERVICE = 3;
    static final int NO_READER = 4;
    static final int NO_CARD = 5;
    static final int CARD_REFUSED = 7;
    static final int OUTCOME_UNKNOWN = 8;
    static final int SERVER_REFUSED = 9;
    static final int CONFIGURATION = 10;
    static final int UNREACHABLE = 12;
    static final int NOT_BELIEVED = 13;

    final int code;

    Refused(int code, String message) {
        super(message);
        this.code = code;
    }

    /** For bytes that are no canonical message, and for those that do not verify. */
    static Refused notBelieved(String message) {
        return new Refused(NOT_BELIEVED, message);
    }
}
