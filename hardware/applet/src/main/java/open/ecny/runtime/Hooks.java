package open.ecny.runtime;

import java.lang.reflect.Field;
import java.util.Arrays;
import javacard.framework.OwnerPIN;
import javacard.framework.Util;

/**
 * Where the instrumented bytecode of an applet reports to. Each method stands for one instruction or one call that
 * writes; its parameters are what lay on the operand stack. {@link Instrumentation} puts the calls in.
 */
public final class Hooks {
    private static final ThreadLocal<Chip> CURRENT = new ThreadLocal<>();

    private Hooks() {}

    /** The card whose applet runs in this thread. */
    static void enter(Chip chip) {
        CURRENT.set(chip);
    }

    static void leave() {
        CURRENT.remove();
    }

    private static PersistentMemory memory() {
        return CURRENT.get().memory();
    }

    // Allocation

    public static void newArray(Object array) {
        memory().allocated(array);
    }

    /** Before {@code new} of an object, and before a call of the API that makes one. */
    public static void newObject() {
        memory().allocated(null);
    }

    // Fields

    /** Before a field of {@code object} is written; {@code number} is its place in the loader's table. */
    public static void beforePut(Object object, int number) {
        if (object != null) { // else the instruction itself throws
            beforeWrite(object, number);
        }
    }

    public static void beforePutStatic(int number) {
        beforeWrite(null, number);
    }

    private static void beforeWrite(Object object, int number) {
        if (!memory().isSealed()) {
            return;
        }
        Field field = CURRENT.get().loader().field(number);
        Object old = get(field, object);
        memory().conditional(Sizes.of(field.getType()), () -> set(field, object, old));
    }

    // Array elements

    public static void storeByte(Object array, int index, int value) {
        if (array instanceof byte[]) {
            memory().storeByte((byte[]) array, index, (byte) value);
            return;
        }
        boolean[] flags = (boolean[]) array;
        boolean old = flags[index];
        if (memory().holds(flags)) {
            memory().conditional(1, () -> flags[index] = old);
        }
        flags[index] = (value & 1) != 0;
    }

    public static void storeShort(short[] array, int index, int value) {
        short old = array[index];
        if (memory().holds(array)) {
            memory().conditional(Short.BYTES, () -> array[index] = old);
        }
        array[index] = (short) value;
    }

    public static void storeInt(int[] array, int index, int value) {
        int old = array[index];
        if (memory().holds(array)) {
            memory().conditional(Integer.BYTES, () -> array[index] = old);
        }
        array[index] = value;
    }

    public static void storeReference(Object[] array, int index, Object value) {
        Object old = array[index];
        if (memory().holds(array)) {
            memory().conditional(Sizes.REFERENCE, () -> array[index] = old);
        }
        array[index] = value;
    }

    // javacard.framework.Util

    public static short arrayCopy(byte[] source, short from, byte[] target, short to, short length) {
        if (!memory().holds(target)) {
            return Util.arrayCopy(source, from, target, to, length);
        }
        memory().storeBytes(target, to, part(source, from, target, to, length));
        return (short) (to + length);
    }

    public static short arrayCopyNonAtomic(byte[] source, short from, byte[] target, short to, short length) {
        if (!memory().holds(target)) {
            return Util.arrayCopyNonAtomic(source, from, target, to, length);
        }
        memory().storeBytesNonAtomic(target, to, part(source, from, target, to, length));
        return (short) (to + length);
    }

    public static short arrayFill(byte[] target, short to, short length, byte value) {
        byte[] content = filled(target, to, length, value);
        if (memory().holds(target)) {
            memory().storeBytes(target, to, content);
            return (short) (to + length);
        }
        return Util.arrayFillNonAtomic(target, to, length, value);
    }

    public static short arrayFillNonAtomic(byte[] target, short to, short length, byte value) {
        if (!memory().holds(target)) {
            return Util.arrayFillNonAtomic(target, to, length, value);
        }
        memory().storeBytesNonAtomic(target, to, filled(target, to, length, value));
        return (short) (to + length);
    }

    /** Two bytes; only a transaction keeps them together. */
    public static short setShort(byte[] target, short to, short value) {
        if (!memory().holds(target)) {
            return Util.setShort(target, to, value);
        }
        check(target, to, Short.BYTES);
        byte[] content = {(byte) (value >> 8), (byte) value};
        if (memory().isOpen()) {
            memory().storeBytes(target, to, content);
        } else {
            memory().storeBytesNonAtomic(target, to, content);
        }
        return (short) (to + Short.BYTES);
    }

    // Objects of the API

    /** After any other call of the API that got an array: it may have written there. */
    public static void afterCall() {
        memory().findForeignWrites();
    }

    /** After a call of a key or key pair that may have changed it. */
    public static void afterKeyCall() {
        if (memory().isSealed()) {
            CURRENT.get().graph().findKeyWrites(memory());
        }
    }

    /** OwnerPIN.check: the counter goes down before the comparison, whatever a transaction does (JCRE 7.6.4). */
    public static boolean check(OwnerPIN pin, byte[] buffer, short offset, byte length) {
        PinState before = new PinState(pin);
        if (pin.getTriesRemaining() > 0) {
            memory().unconditional();
        }
        boolean right = pin.check(buffer, offset, length);
        if (right) {
            if (memory().isNextCut()) {
                before.restoreWithOneTryLess();
            }
            memory().unconditional();
        }
        return right;
    }

    /** OwnerPIN.update: takes part in a transaction, as its description demands. */
    public static void update(OwnerPIN pin, byte[] buffer, short offset, byte length) {
        PinState before = new PinState(pin);
        memory().conditional(length + 1, before::restore);
        pin.update(buffer, offset, length);
    }

    public static void resetAndUnblock(OwnerPIN pin) {
        memory().unconditional();
        pin.resetAndUnblock();
    }

    // Arguments, checked before anything is written, as the API does

    private static byte[] part(byte[] source, int from, byte[] target, int to, int length) {
        check(source, from, length);
        check(target, to, length);
        byte[] content = new byte[length];
        System.arraycopy(source, from, content, 0, length);
        return content;
    }

    private static byte[] filled(byte[] target, int to, int length, byte value) {
        check(target, to, length);
        byte[] content = new byte[length];
        Arrays.fill(content, value);
        return content;
    }

    private static void check(byte[] array, int offset, int length) {
        if (offset < 0 || length < 0 || offset + length > array.length) {
            throw new ArrayIndexOutOfBoundsException();
        }
    }

    static Object get(Field field, Object object) {
        try {
            return field.get(object);
        } catch (IllegalAccessException error) {
            throw new IllegalStateException(error);
        }
    }

    static void set(Field field, Object object, Object value) {
        try {
            field.set(object, value);
        } catch (IllegalAccessException error) {
            throw new IllegalStateException(error);
        }
    }
}
