package open.ecny.runtime;

import com.licel.jcardsim.base.TransientMemory;
import java.util.IdentityHashMap;
import java.util.Map;
import javacard.framework.JCSystem;

/** Transient arrays, known by identity: the simulator's own search through a list costs more with each array. */
final class TransientMemoryOfChip extends TransientMemory {
    private final Map<Object, Byte> events = new IdentityHashMap<>();
    private boolean sealed;

    /**
     * Installation is over. What the simulator makes for itself from here on (a copy of a key at each use) is no memory
     * of the applet, and is not kept: it would grow for ever.
     */
    void seal() {
        sealed = true;
    }

    @Override
    public byte isTransient(Object object) {
        return object == null ? JCSystem.NOT_A_TRANSIENT_OBJECT : events.getOrDefault(object, (byte) 0);
    }

    @Override
    protected void storeArray(Object array, byte event) {
        if (!sealed) {
            super.storeArray(array, event);
            events.put(array, event);
        }
    }

    @Override
    protected void forgetBuffers() {
        super.forgetBuffers();
        events.clear();
    }

    /** Another applet, or the same again, is selected. */
    void deselect() {
        clearOnDeselect();
    }

    /** Reset, or power off and on. */
    void reset() {
        clearOnReset();
    }
}
