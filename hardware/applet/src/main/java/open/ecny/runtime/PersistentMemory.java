package open.ecny.runtime;

import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.Deque;
import java.util.IdentityHashMap;
import java.util.Map;
import javacard.framework.TransactionException;

/**
 * The non-volatile memory of one card: what a write is, when it counts, and what is left of it when the power goes.
 *
 * <p>Java Card Runtime Environment Specification 3.0.5, chapter 7: one field or array element is written whole or not
 * at all (7.1); within a transaction all conditional writes are kept or none (7.2); non-atomic writes of the API are
 * never undone and may stop in the middle (7.6). The commit buffer keeps the old value of each conditional write; it is
 * as small as a chip's, so an applet that would fit no chip gets BUFFER_FULL here too (7.7).
 *
 * <p>Nothing counts before {@link #seal}: installation is one transaction of the card manager. For one thread at a
 * time.
 */
public final class PersistentMemory {
    /** What a chip keeps beside each old value: address and length, in bytes. */
    public static final int ENTRY_OVERHEAD = 4;
    /** A block that is programmed at once by a non-atomic copy, in bytes; a cut leaves it half done. */
    public static final int BLOCK = 64;

    private final int capacity;
    private final Map<Object, Object> arrays = new IdentityHashMap<>();
    private final Deque<Runnable> undo = new ArrayDeque<>();
    private boolean sealed;
    private boolean open;
    private boolean dead;
    private int used;
    private int highWater;
    private long writes;
    private long cutAt = -1;
    private long allocations;

    /** @param capacity of the commit buffer, bytes */
    public PersistentMemory(int capacity) {
        this.capacity = capacity;
    }

    // The life of the card

    /** Installation is over: from here every write counts and every allocation is a mistake. */
    public void seal() {
        for (Map.Entry<Object, Object> entry : arrays.entrySet()) {
            if (entry.getKey() instanceof byte[]) {
                entry.setValue(((byte[]) entry.getKey()).clone());
            }
        }
        sealed = true;
    }

    boolean isSealed() {
        return sealed;
    }

    /** Takes the power at the n-th persistent write from now (1: the next one); 0 forgets the plan. */
    public void cutAtWrite(long n) {
        cutAt = n > 0 ? writes + n : -1;
    }

    /** Whether the power is gone: nothing is written any more until {@link #reset}. */
    public boolean isDead() {
        return dead;
    }

    /** Power off and on: what an open transaction has written is undone. */
    public void reset() {
        rollBack();
        dead = false;
    }

    // Transactions

    public void begin() {
        if (open) {
            TransactionException.throwIt(TransactionException.IN_PROGRESS);
        }
        open = true;
    }

    /** The point of no return is a write of its own: cut there, and the transaction never was. */
    public void commit() {
        if (!open) {
            TransactionException.throwIt(TransactionException.NOT_IN_PROGRESS);
        }
        if (sealed) {
            spend();
        }
        undo.clear();
        used = 0;
        open = false;
    }

    public void abort() {
        if (!open) {
            TransactionException.throwIt(TransactionException.NOT_IN_PROGRESS);
        }
        checkPower();
        rollBack();
    }

    public boolean isOpen() {
        return open;
    }

    public int capacity() {
        return capacity;
    }

    public int unused() {
        return capacity - used;
    }

    // Figures

    /** Persistent writes since installation; a non-atomic copy counts one for each block. */
    public long writes() {
        return writes;
    }

    /** The fullest that the commit buffer has been, bytes with the overhead of each entry. */
    public int highWater() {
        return highWater;
    }

    /** Objects and arrays made after installation: 0 for an applet that fits a chip without garbage collection. */
    public long allocations() {
        return allocations;
    }

    // Writes

    void allocated(Object array) {
        if (array != null) {
            arrays.put(array, array instanceof byte[] ? ((byte[]) array).clone() : array);
        }
        if (sealed) {
            allocations++;
        }
    }

    /** Whether this array lies in persistent memory: every array that the applet made with {@code new}. */
    boolean holds(Object array) {
        return arrays.containsKey(array);
    }

    /** A field or element of {@code bytes} bytes is about to be written; {@code restore} would undo it. */
    void conditional(int bytes, Runnable restore) {
        if (!sealed) {
            return;
        }
        checkPower();
        reserve(bytes);
        spend();
        if (open) {
            used += bytes + ENTRY_OVERHEAD;
            undo.push(restore);
        }
    }

    /** A write that no transaction undoes and no cut splits: the try counter of a PIN. */
    void unconditional() {
        if (sealed) {
            spend();
        }
    }

    /** The power goes here although no write was counted: half of something has been done. */
    PowerLost die() {
        dead = true;
        cutAt = -1;
        return new PowerLost();
    }

    /** Whether the next write is the one that the plan cuts. */
    boolean isNextCut() {
        return cutAt == writes + 1;
    }

    void storeByte(byte[] array, int index, byte value) {
        byte[] shadow = (byte[]) arrays.get(array);
        if (shadow == null) {
            array[index] = value;
            return;
        }
        byte old = array[index];
        conditional(1, () -> array[index] = shadow[index] = old);
        array[index] = shadow[index] = value;
    }

    /** All of it or nothing, as Util.arrayCopy promises; outside a transaction it is one of its own. */
    void storeBytes(byte[] array, int offset, byte[] content) {
        byte[] shadow = (byte[]) arrays.get(array);
        byte[] old = Arrays.copyOfRange(array, offset, offset + content.length);
        conditional(content.length, () -> put(array, shadow, offset, old, old.length));
        put(array, shadow, offset, content, content.length);
    }

    /** Block after block, never undone; a cut leaves the first half of its block new and the rest old. */
    void storeBytesNonAtomic(byte[] array, int offset, byte[] content) {
        byte[] shadow = (byte[]) arrays.get(array);
        for (int done = 0; done < content.length; done += BLOCK) {
            int size = Math.min(BLOCK, content.length - done);
            byte[] block = Arrays.copyOfRange(content, done, done + size);
            if (sealed) {
                checkPower();
                if (isNextCut()) {
                    put(array, shadow, offset + done, block, size / 2);
                }
                spend();
            }
            put(array, shadow, offset + done, block, size);
        }
    }

    /** What a call of the API has written into arrays of the applet: counted as non-atomic, after the fact. */
    void findForeignWrites() {
        if (!sealed) {
            return;
        }
        for (Map.Entry<Object, Object> entry : arrays.entrySet()) {
            if (!(entry.getKey() instanceof byte[])) {
                continue;
            }
            byte[] array = (byte[]) entry.getKey();
            byte[] shadow = (byte[]) entry.getValue();
            int first = Arrays.mismatch(array, shadow);
            if (first >= 0) {
                int end = array.length;
                while (array[end - 1] == shadow[end - 1]) {
                    end--;
                }
                byte[] written = Arrays.copyOfRange(array, first, end);
                System.arraycopy(shadow, first, array, first, written.length);
                storeBytesNonAtomic(array, first, written);
            }
        }
    }

    /** Puts back what a snapshot has kept: no write of the card. */
    void load(byte[] array, byte[] content) {
        System.arraycopy(content, 0, array, 0, array.length);
        Object shadow = arrays.get(array);
        if (shadow != null) {
            System.arraycopy(content, 0, shadow, 0, array.length);
        }
    }

    private static void put(byte[] array, byte[] shadow, int offset, byte[] content, int size) {
        System.arraycopy(content, 0, array, offset, size);
        System.arraycopy(content, 0, shadow, offset, size);
    }

    private void checkPower() {
        if (dead) {
            throw new PowerLost();
        }
    }

    private void reserve(int bytes) {
        if (!open && bytes <= Integer.BYTES) {
            return; // one word of the memory is atomic by itself
        }
        int needed = used + bytes + ENTRY_OVERHEAD;
        if (needed > capacity) {
            TransactionException.throwIt(TransactionException.BUFFER_FULL);
        }
        highWater = Math.max(highWater, needed);
    }

    private void spend() {
        checkPower();
        if (isNextCut()) {
            throw die();
        }
        writes++;
    }

    private void rollBack() {
        while (!undo.isEmpty()) {
            undo.pop().run();
        }
        used = 0;
        open = false;
    }
}
