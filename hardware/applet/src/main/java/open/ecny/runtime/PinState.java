package open.ecny.runtime;

import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.lang.reflect.Field;
import javacard.framework.OwnerPIN;

/** What an OwnerPIN keeps in persistent memory: value, length and tries left. The validated flag is transient. */
final class PinState {
    private static final Field VALUE = field("pinValue");
    private static final Field SIZE = field("pinSize");
    private static final Field TRIES = field("triesLeft");

    private final OwnerPIN pin;
    private final byte[] value;
    private final byte size;
    private final byte tries;

    PinState(OwnerPIN pin) {
        this(pin, ((byte[]) Hooks.get(VALUE, pin)).clone(), (Byte) Hooks.get(SIZE, pin), pin.getTriesRemaining());
    }

    private PinState(OwnerPIN pin, byte[] value, byte size, byte tries) {
        this.pin = pin;
        this.value = value;
        this.size = size;
        this.tries = tries;
    }

    void restore() {
        restore(tries);
    }

    /** A comparison was begun and its result was not kept. */
    void restoreWithOneTryLess() {
        restore((byte) (tries - 1));
    }

    private void restore(byte left) {
        System.arraycopy(value, 0, (byte[]) Hooks.get(VALUE, pin), 0, value.length);
        Hooks.set(SIZE, pin, size);
        ((byte[]) Hooks.get(TRIES, pin))[0] = left;
    }

    int bytes() {
        return value.length + 2;
    }

    void write(DataOutputStream out) throws IOException {
        out.write(value);
        out.writeByte(size);
        out.writeByte(tries);
    }

    static PinState read(OwnerPIN pin, DataInputStream in) throws IOException {
        byte[] value = in.readNBytes(((byte[]) Hooks.get(VALUE, pin)).length);
        return new PinState(pin, value, in.readByte(), in.readByte());
    }

    private static Field field(String name) {
        try {
            Field field = OwnerPIN.class.getDeclaredField(name);
            field.setAccessible(true);
            return field;
        } catch (NoSuchFieldException error) {
            throw new IllegalStateException(error);
        }
    }
}
