package open.ecny.purse;

import javacard.framework.ISO7816;

/**
 * Status words (ISO/IEC 7816-4, clause 5.6; docs/spec/statuses.md). All but 63Cx promise that persistent memory is as
 * it was before the command.
 */
final class Words {
    // Of the transport and the command's form.
    static final short OK = ISO7816.SW_NO_ERROR;
    static final short REST_AVAILABLE = ISO7816.SW_BYTES_REMAINING_00;
    static final short PIN_WRONG = (short) 0x63C0;
    static final short WRONG_LENGTH = ISO7816.SW_WRONG_LENGTH;
    static final short CHANNEL_NOT_SUPPORTED = ISO7816.SW_LOGICAL_CHANNEL_NOT_SUPPORTED;
    static final short SECURE_MESSAGING_MISSING = ISO7816.SW_SECURE_MESSAGING_NOT_SUPPORTED;
    static final short CHAINING_NOT_SUPPORTED = ISO7816.SW_COMMAND_CHAINING_NOT_SUPPORTED;
    static final short SECURE_MESSAGING_WRONG = (short) 0x6988;
    static final short NO_SUCH_APPLICATION = ISO7816.SW_FILE_NOT_FOUND;
    static final short WRONG_P1P2 = ISO7816.SW_INCORRECT_P1P2;
    static final short UNKNOWN_INS = ISO7816.SW_INS_NOT_SUPPORTED;
    static final short UNKNOWN_CLA = ISO7816.SW_CLA_NOT_SUPPORTED;

    // Reasons of a purse, in their order of precedence.
    static final short WRONG_STATE = (short) 0x6985;
    static final short MALFORMED = (short) 0x6A80;
    static final short WRONG_PURSE = (short) 0x69EC;
    static final short SUITE = (short) 0x69EE;
    static final short STALE = (short) 0x69E1;
    static final short SLOTS_FULL = (short) 0x6A84;
    static final short COUNTERS_EXHAUSTED = (short) 0x69EF;
    static final short PAYEE_CLASS = (short) 0x69E7;
    static final short PAYEE_UNVERIFIED = (short) 0x69E9;
    static final short CERTIFICATE = (short) 0x69EB;
    static final short SIGNATURE = (short) 0x69EA;
    static final short SELF_PAYMENT = (short) 0x69E0;
    static final short AMOUNT = (short) 0x69E6;
    static final short TRANSFER_LIMIT = (short) 0x69E3;
    static final short OFFLINE_TOTAL = (short) 0x69E4;
    static final short OFFLINE_COUNT = (short) 0x69E5;
    static final short INSUFFICIENT = (short) 0x69E2;
    static final short BALANCE_LIMIT = (short) 0x69E8;
    static final short PIN_BLOCKED = (short) 0x6983;
    static final short PIN_REQUIRED = (short) 0x6982;
    static final short REQUEST_CLOSED = (short) 0x69ED;
    static final short OUTCOME_FINAL = (short) 0x69F1;
    static final short POLICY_OLD = (short) 0x69F0;
    static final short NOT_FOUND = (short) 0x6A88;

    private Words() {}
}
