package open.ecny.runtime;

/**
 * The power went in the middle of a command. An Error, so that no applet catches it by mistake; it unwinds to the
 * bridge, which gives no answer. An applet that does catch it gets it again from its next persistent write.
 */
public final class PowerLost extends Error {
    private static final long serialVersionUID = 1L;

    public PowerLost() {
        super("power lost", null, false, false);
    }
}
