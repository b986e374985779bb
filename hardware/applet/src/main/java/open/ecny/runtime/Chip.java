package open.ecny.runtime;

import javacard.framework.Applet;
import javacard.framework.JCSystem;

/**
 * One card with one applet: installed once, then powered on and off, torn, copied and put back.
 *
 * <p>For one thread at a time. The applet runs in the caller's thread.
 */
public final class Chip {
    /** Bytes of old values that a transaction may hold, unless told otherwise; current chips have 256 to 2,048. */
    public static final int COMMIT_CAPACITY = 512;

    private final PersistentMemory memory;
    private final TransientMemoryOfChip volatileMemory = new TransientMemoryOfChip();
    private final AppletLoader loader;
    private final ChipRuntime runtime;
    private final ObjectGraph graph;
    private boolean powered;
    private long answers;
    private long tearBeforeAnswer = -1;

    /**
     * Makes a card and installs the applet on it.
     *
     * @param mainClass the applet, whose package holds all its classes
     * @param aid its name, 5 to 16 bytes
     * @param parameters what its install method gets (instance AID, control information, application data)
     * @param commitCapacity bytes of the commit buffer
     */
    public Chip(String mainClass, byte[] aid, byte[] parameters, int commitCapacity) {
        memory = new PersistentMemory(commitCapacity);
        loader = new AppletLoader(mainClass);
        runtime = new ChipRuntime(memory, volatileMemory);
        Hooks.enter(this);
        try {
            Applet applet = runtime.install(loader.loadClass(mainClass), aid, parameters);
            loader.loadAll();
            graph = new ObjectGraph(applet, loader.classes(), volatileMemory);
        } catch (ClassNotFoundException error) {
            throw new IllegalArgumentException("no class " + mainClass, error);
        } finally {
            Hooks.leave();
        }
        volatileMemory.seal();
        memory.seal();
        powerOff();
    }

    PersistentMemory memory() {
        return memory;
    }

    AppletLoader loader() {
        return loader;
    }

    ObjectGraph graph() {
        return graph;
    }

    // Power

    public void powerOn() {
        powerOff();
        powered = true;
    }

    /** Everything transient is gone, and what an open transaction had written. May be repeated. */
    public void powerOff() {
        powered = false;
        memory.reset();
        runtime.reset();
        volatileMemory.reset();
        graph.clearTransientKeys();
    }

    /** One command, one answer. Throws {@link PowerLost} when a plan takes the power; the card is off then. */
    public byte[] transmit(byte[] command) {
        if (!powered) {
            throw new PowerLost();
        }
        Hooks.enter(this);
        try {
            byte[] answer = runtime.transmitCommand(command);
            answers++;
            if (answers == tearBeforeAnswer) {
                tearBeforeAnswer = -1;
                throw new PowerLost();
            }
            return answer;
        } catch (PowerLost cut) {
            powerOff();
            throw cut;
        } finally {
            Hooks.leave();
        }
    }

    /** What ended the last command as 6F00 though the applet did not say so; null if nothing did. */
    public Throwable lastError() {
        return runtime.lastError();
    }

    // Plans

    /** Takes the power at the n-th persistent write from now, from 1. */
    public void tearAtWrite(long n) {
        memory.cutAtWrite(n);
    }

    /** Takes the power when the n-th command from now is done, before its answer, from 1. */
    public void tearBeforeAnswer(long n) {
        tearBeforeAnswer = answers + n;
    }

    public void forgetTears() {
        memory.cutAtWrite(0);
        tearBeforeAnswer = -1;
    }

    // Content

    /** All of persistent memory; a transaction that is open is in it. */
    public byte[] content() {
        return graph.content();
    }

    /** Makes persistent memory what it was, and takes the power. Throws UncheckedIOException for another applet's. */
    public void load(byte[] content) {
        powerOff();
        graph.load(content, memory);
    }

    /** Which applet this is: SHA-256 over its class files. */
    public byte[] fingerprint() {
        return loader.fingerprint();
    }

    // Figures

    /** Persistent writes since installation. */
    public long writes() {
        return memory.writes();
    }

    public Report report() {
        return new Report(this);
    }

    /** What an applet takes of a chip. All sizes in bytes. */
    public static final class Report {
        public final int persistentBytes;
        public final int persistentObjects;
        public final int transientResetBytes;
        public final int transientDeselectBytes;
        public final int commitCapacity;
        public final int commitHighWater;
        public final long writes;
        public final long allocations;

        private Report(Chip chip) {
            persistentBytes = chip.graph.persistentBytes();
            persistentObjects = chip.graph.persistentObjects();
            transientResetBytes = chip.graph.transientBytes(JCSystem.CLEAR_ON_RESET);
            transientDeselectBytes = chip.graph.transientBytes(JCSystem.CLEAR_ON_DESELECT);
            commitCapacity = chip.memory.capacity();
            commitHighWater = chip.memory.highWater();
            writes = chip.memory.writes();
            allocations = chip.memory.allocations();
        }
    }
}
