package open.ecny.purse;

import javacard.framework.Util;

/** The policy in force, as questions: an active purse has one, for PERSONALISE END wants it. Fields: {@link Layout}. */
final class Policy {
    private final Objects objects;

    Policy(Objects objects) {
        this.objects = objects;
    }

    /** Whether the number at {@code at} is above the limit in this field. */
    boolean isAbove(short field, byte[] number, short at, short width) {
        return Bytes.compare(number, at, bytes(), place(field), width) > 0;
    }

    /** Whether bit {@code certificateClass} is set in this field of 4 bytes. */
    boolean allows(short field, byte certificateClass) {
        byte last = bytes()[(short) (place(field) + 3)];
        return (short) ((short) (last >> certificateClass) & 1) != 0;
    }

    /** Whether the policy asks for a stronger suite than this card's. */
    boolean wantsStrongerSuite() {
        return bytes()[place(Layout.POLICY_LEAST_SUITE)] > Layout.SUITE_ES256;
    }

    boolean isStaged() {
        return bytes()[place(Layout.POLICY_MODE)] == Layout.MODE_STAGED;
    }

    /** Copies the version, 4 bytes. */
    void version(byte[] to, short at) {
        Util.arrayCopyNonAtomic(bytes(), place(Layout.POLICY_VERSION), to, at, Bytes.COUNTER);
    }

    private byte[] bytes() {
        return objects.get(Objects.POLICY);
    }

    private static short place(short field) {
        return (short) (Layout.PAYLOAD + field);
    }
}
