package open.ecny.purse;

/**
 * Offsets and lengths, in bytes, of every message that this card reads or writes (docs/spec/messages.cddl).
 *
 * <p>A message has one length and constant offsets. A signed message is {@code D2 84 43 A1 01 26 A0}, the head of a
 * byte string, the payload, {@code 58 40}, the signature; offsets of fields count from the start of the payload.
 */
final class Layout {
    static final short HASH = 32;
    static final short ID = 32;
    static final short SIGNATURE = 64;

    // The envelope of a signed message (RFC 9052, clause 4.2).
    /** Start of the byte string that wraps the payload: its head and the payload end the Sig_structure too. */
    static final short WRAPPED = 7;
    /** Start of a payload of less than 256 bytes, and of the one that is longer. */
    static final short PAYLOAD = 9;
    static final short REPORT_PAYLOAD = 10;
    /** Head of the byte string around the signature. */
    static final short SIGNATURE_HEAD = 2;

    // Sizes of payloads.
    static final short REQUEST = 138;
    static final short VOUCHER = 195;
    static final short RECEIPT = 111;
    static final short REFUSAL = 81;
    static final short ORDER = 122;
    static final short REPORT = 1012;
    static final short GRANT = 231;
    static final short POLICY = 130;
    static final short CERTIFICATION_REQUEST = 112;

    // Sizes with envelope and signature.
    private static final short ENVELOPE = PAYLOAD + SIGNATURE_HEAD + SIGNATURE;
    static final short SIGNED_REQUEST = ENVELOPE + REQUEST;
    static final short SIGNED_VOUCHER = ENVELOPE + VOUCHER;
    static final short SIGNED_RECEIPT = ENVELOPE + RECEIPT;
    static final short SIGNED_REFUSAL = ENVELOPE + REFUSAL;
    static final short SIGNED_ORDER = ENVELOPE + ORDER;
    static final short SIGNED_REPORT = ENVELOPE + 1 + REPORT;
    static final short SIGNED_GRANT = ENVELOPE + GRANT;
    static final short SIGNED_POLICY = ENVELOPE + POLICY;
    static final short SIGNED_CERTIFICATION_REQUEST = ENVELOPE + CERTIFICATION_REQUEST;

    // Every payload: the suite is label 1, one byte.
    static final short SUITE = 4;
    /** The one suite of this card: ES256 with SHA-256 and AES-128. */
    static final byte SUITE_ES256 = 1;

    // Request and Voucher: labels 2 to 7 are one run of bytes that a Voucher takes over from its Request.
    static final short TRANSFER_PAYER = 8;
    static final short TRANSFER_EPOCH = 42;
    static final short TRANSFER_N = 48;
    static final short TRANSFER_PAYEE = 55;
    static final short TRANSFER_K = 89;
    static final short TRANSFER_AMOUNT = 95;
    /** The run from the label of the payer to the end of the amount. */
    static final short TRANSFER_RUN = 5;
    static final short TRANSFER_RUN_SIZE = 98;
    static final short REQUEST_ORDER_HASH = 106;
    static final short VOUCHER_REQUEST_HASH = 106;
    static final short VOUCHER_POLICY_VERSION = 140;
    static final short VOUCHER_AUDIT = 147;

    // Receipt and Refusal.
    static final short ANSWER_PAYEE = 8;
    static final short ANSWER_K = 42;
    /** H(Voucher) of a Receipt, H(Request) of a Refusal. */
    static final short ANSWER_HASH = 49;
    static final short RECEIPT_IN = 83;
    static final short RECEIPT_OUT = 93;
    static final short RECEIPT_REVERSED = 103;

    // ReversalOrder.
    static final short ORDER_PAYER = 8;
    static final short ORDER_EPOCH = 42;
    static final short ORDER_N = 48;
    static final short ORDER_VOUCHER_HASH = 55;

    // Report.
    static final short REPORT_PURSE = 8;
    static final short REPORT_EPOCH = 42;
    static final short REPORT_NEXT_N = 48;
    static final short REPORT_NEXT_K = 54;
    static final short REPORT_POLICY_VERSION = 60;
    static final short REPORT_IN = 66;
    static final short REPORT_OUT = 76;
    static final short REPORT_REVERSED = 86;
    static final short REPORT_OUT_ACKED = 96;
    static final short REPORT_IN_ACKED = 106;
    static final short REPORT_SLOTS = 118;
    static final short REPORT_ENTRIES = 714;
    static final short REPORT_LIFECYCLE = 1011;
    /** One line of slots or entries: counter 4, state 1, hash 32. */
    static final short REPORT_LINE = 37;

    // Grant.
    static final short GRANT_PURSE = 8;
    static final short GRANT_EPOCH = 42;
    static final short GRANT_N_ACKED = 48;
    static final short GRANT_POLICY_VERSION = 54;
    static final short GRANT_OUT_ACKED = 60;
    static final short GRANT_IN_ACKED = 70;
    static final short GRANT_OUTCOMES = 81;
    /** One outcome: n 4, state 1. */
    static final short GRANT_OUTCOME = 5;
    static final short GRANT_CLOSED = 164;

    // Policy.
    static final short POLICY_OPERATOR = 8;
    static final short POLICY_VERSION = 42;
    static final short POLICY_CLASS = 47;
    static final short POLICY_LEAST_SUITE = 49;
    static final short POLICY_MODE = 51;
    static final short POLICY_BALANCE_LIMIT = 54;
    static final short POLICY_TRANSFER_LIMIT = 64;
    static final short POLICY_OFFLINE_TOTAL = 74;
    static final short POLICY_OFFLINE_COUNT = 84;
    static final short POLICY_PIN_THRESHOLD = 90;
    static final short POLICY_UNVERIFIED_TOTAL = 100;
    static final short POLICY_PAYEE_THRESHOLD = 110;
    static final short POLICY_PAYEE_CLASSES = 120;
    static final short POLICY_PAYER_CLASSES = 126;
    static final byte MODE_STAGED = 1;
    static final byte MODE_INTERMITTENT = 2;

    // CertificationRequest.
    static final short CERTIFICATION_X = 8;
    static final short CERTIFICATION_Y = 43;
    static final short CERTIFICATION_CLASS = 76;
    static final short CERTIFICATION_CHALLENGE = 80;

    // A certificate: offsets count from its first byte (CWT, RFC 8392).
    static final short CERTIFICATE = 227;
    static final short CERTIFICATE_PROTECTED = 2;
    static final short CERTIFICATE_PROTECTED_SIZE = 43;
    static final short CERTIFICATE_ISSUER = 10;
    static final short CERTIFICATE_WRAPPED = 46;
    static final short CERTIFICATE_WRAPPED_SIZE = 115;
    static final short CERTIFICATE_EXPIRES = 51;
    static final short CERTIFICATE_NOT_BEFORE = 57;
    static final short CERTIFICATE_X = 72;
    static final short CERTIFICATE_Y = 107;
    static final short CERTIFICATE_CLASS = 144;
    static final short CERTIFICATE_TEST = 150;
    static final short CERTIFICATE_EPOCH = 157;
    static final short CERTIFICATE_SIGNATURE = 163;

    // Classes of certificates.
    static final byte CLASS_AUTHORITY = 0;
    static final byte CLASS_OPERATOR = 1;
    static final byte CLASS_OPERATOR_PURSE = 2;
    static final byte CLASS_HARD_WALLET = 3;
    static final byte CLASS_MERCHANT_PURSE = 4;
    static final byte CLASS_TILL = 5;

    // The data field of REQUEST.
    static final short QUESTION = 80;
    static final short QUESTION_PAYER = 0;
    static final short QUESTION_EPOCH = 32;
    static final short QUESTION_N = 36;
    static final short QUESTION_AMOUNT = 40;
    static final short QUESTION_ORDER_HASH = 48;

    /** The sealed audit block: three blocks of AES (wallet_core/audit.py). */
    static final short AUDIT = 48;
    static final short AUDIT_NONCE = 12;

    /** The P-256 point in a key object: 04, x, y. */
    static final short POINT = 65;

    // The one buffer of commands and answers: the longest command is COLLECT, the longest answer a Report.
    static final short BUFFER = SIGNED_REPORT;
    /** Where an answer is made while the command's data are still needed: behind the longest command. */
    static final short ANSWER = SIGNED_VOUCHER + 2 * CERTIFICATE;

    private Layout() {}
}
